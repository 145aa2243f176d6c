"""Exercise 9: the step of G

Teaches: the generator learns through D, and D stays where it is; the loss that the paper recommends.

D returns logits a, and D(G(z)) = sigmoid(a). Early in training D rejects the samples, and log(1 - D(G(z))) is flat. So
the generator ascends the gradient of

    1/m sum of log D(G(z))

An optimizer descends, so the loss is minus this. F.binary_cross_entropy_with_logits(a, 1) is the mean of -log D.

Make one update of G. D must not move. Gradients of an earlier step may still be there.

Replace the line with NotImplementedError. Then: tinygan learn check 9
"""

import tinygan.functional as F


def step_of_g(G, D, optimizer, z):
    """Return the loss, before the update.

    G: a network, G(z) has shape (m, 2)
    D: a network, D(G(z)) has shape (m, 1)
    optimizer: has the parameters of G
    z: a tensor of shape (m, 2), noise
    """
    # SOLUTION
    loss = F.binary_cross_entropy_with_logits(D(G(z)), 1)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss
    # END
