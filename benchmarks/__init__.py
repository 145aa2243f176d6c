"""How fast tinygan is: against its own matrix products, against other frameworks, against itself.

``python -m benchmarks`` runs everything; ``python -m benchmarks --help`` lists the parts. Run it from a checkout.
"""
