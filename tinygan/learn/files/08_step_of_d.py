"""Exercise 8: the step of D

Teaches: the inner loop of Algorithm 1, and that it leaves G alone.

D returns logits a, and D(x) = sigmoid(a). The discriminator ascends the gradient of

    1/m sum of [ log D(x) + log(1 - D(G(z))) ]

An optimizer descends, so the loss is minus this. F.binary_cross_entropy_with_logits(a, 1) is the mean of -log D, and
F.binary_cross_entropy_with_logits(a, 0) is the mean of -log(1 - D).

Make one update of D. G must not move, and must receive no gradient. Gradients of an earlier step may still be there.

Replace the line with NotImplementedError. Then: tinygan learn check 8
"""

import tinygan.functional as F


def step_of_d(G, D, optimizer, x, z):
    """Return the loss, before the update.

    G: a network, G(z) has shape (m, 2)
    D: a network, D(x) and D(G(z)) have shape (m, 1)
    optimizer: has the parameters of D
    x: a tensor of shape (m, 2), examples of the data
    z: a tensor of shape (m, 2), noise
    """
    # SOLUTION
    fake = G(z).detach()
    loss = F.binary_cross_entropy_with_logits(D(x), 1) + F.binary_cross_entropy_with_logits(D(fake), 0)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss
    # END
