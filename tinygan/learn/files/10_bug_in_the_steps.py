"""Exercise 10: find the bug, G moves the wrong way

Teaches: what a loss is connected to, it changes.

This iteration makes one step of D, then one step of G. Its losses look good, and nothing stops with an error. But in
each iteration G moves a little the wrong way: towards what D rejects. Find the bug, and mend it. One line is enough.

The check also looks at the gradient of G at the moment of D's step: G.weight.grad. What should it be there?

Then: tinygan learn check 10
"""

import tinygan.functional as F


def iteration(G, D, g_optimizer, d_optimizer, x, z_d, z_g):
    """Make one iteration; return the losses of D and G.

    G, D: networks; D returns logits
    g_optimizer, d_optimizer: have the parameters of G, and those of D
    x: a tensor of shape (m, 2), examples of the data
    z_d, z_g: tensors of shape (m, 2), noise for the step of D, and for the step of G
    """
    g_optimizer.zero_grad()
    d_optimizer.zero_grad()

    fake = G(z_d)
    # SOLUTION
    fake = fake.detach()
    # STARTER
    # END
    d_loss = F.binary_cross_entropy_with_logits(D(x), 1) + F.binary_cross_entropy_with_logits(D(fake), 0)
    d_loss.backward()
    d_optimizer.step()

    g_loss = F.binary_cross_entropy_with_logits(D(G(z_g)), 1)
    g_loss.backward()
    g_optimizer.step()
    return d_loss, g_loss
