"""Exercise 13: find the bug, the loss becomes infinite

Teaches: a probability is rounded, a logit is not.

This is the loss of D, as the paper prints it:

    - 1/m sum of log D(x)  -  1/m sum of log(1 - D(G(z)))        with D = sigmoid(logit)

It is right on paper. But when D becomes sure, the loss is infinite or nan, and the gradient is nan, 0 or too large. The
numbers are of float32. Mend the loss, so that it and its gradients are right for logits from -200 to 200.

Then: tinygan learn check 13
"""

import tinygan.functional as F


def loss_of_d(real_logits, fake_logits):
    """Return the loss, a tensor of one number.

    real_logits: a tensor of shape (m, 1), the logits of D for the data
    fake_logits: a tensor of shape (m, 1), the logits of D for the samples
    """
    # SOLUTION
    real = F.softplus(-real_logits).mean()  # -log D = log(1 + e^-a)
    fake = F.softplus(fake_logits).mean()  # -log(1 - D) = log(1 + e^a)
    return real + fake
    # STARTER
    # p_real = F.sigmoid(real_logits)
    # p_fake = F.sigmoid(fake_logits)
    # return -F.log(p_real).mean() - F.log(1 - p_fake).mean()
    # END
