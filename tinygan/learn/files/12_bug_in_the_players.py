"""Exercise 12: find the bug, D becomes too friendly

Teaches: each player moves its own weights, and no others.

This function makes both optimizers, and plays some iterations. The loss of G falls quickly. But the samples do not
improve, and D gives them better and better marks. Find the bug, and mend it.

Then: tinygan learn check 12
"""

import tinygan.functional as F
from tinygan import optim


def play(G, D, x, z_d, z_g, lr):
    """Play len(x) iterations; return nothing.

    G, D: networks; D returns logits
    x: a list of tensors of shape (m, 2), examples of the data
    z_d, z_g: lists of tensors of shape (m, 2), noise for the steps of D, and for the steps of G
    lr: the learning rate of both players
    """
    d_optimizer = optim.SGD(D.parameters(), lr)
    # SOLUTION
    g_optimizer = optim.SGD(G.parameters(), lr)
    # STARTER
    # g_optimizer = optim.SGD([*G.parameters(), *D.parameters()], lr)
    # END
    for real, z, z_of_g in zip(x, z_d, z_g, strict=True):
        fake = G(z).detach()
        d_loss = F.binary_cross_entropy_with_logits(D(real), 1) + F.binary_cross_entropy_with_logits(D(fake), 0)
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()

        g_loss = F.binary_cross_entropy_with_logits(D(G(z_of_g)), 1)
        g_optimizer.zero_grad()
        d_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
