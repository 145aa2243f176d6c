"""Exercise 11: find the bug, the steps of D grow

Teaches: backward() adds to a gradient that is already there.

This iteration makes k steps of D, then one step of G. With k = 1 it works. With a larger k, each step of D is larger
than the one before, and D jumps about. Find the bug, and mend it.

Then: tinygan learn check 11
"""

import tinygan.functional as F


def iteration(G, D, g_optimizer, d_optimizer, x, z_d, z_g):
    """Make one iteration; return the losses of the last step of D and of the step of G.

    G, D: networks; D returns logits
    g_optimizer, d_optimizer: have the parameters of G, and those of D
    x: a list of k tensors of shape (m, 2), examples of the data
    z_d: a list of k tensors of shape (m, 2), noise for the steps of D
    z_g: a tensor of shape (m, 2), noise for the step of G
    """
    # SOLUTION
    # STARTER
    # d_optimizer.zero_grad()
    # END
    for real, z in zip(x, z_d, strict=True):
        fake = G(z).detach()
        d_loss = F.binary_cross_entropy_with_logits(D(real), 1) + F.binary_cross_entropy_with_logits(D(fake), 0)
        # SOLUTION
        d_optimizer.zero_grad()
        # STARTER
        # END
        d_loss.backward()
        d_optimizer.step()

    g_loss = F.binary_cross_entropy_with_logits(D(G(z_g)), 1)
    g_optimizer.zero_grad()
    g_loss.backward()
    g_optimizer.step()
    return d_loss, g_loss
