"""How a network is run: its card, the weights, and whichever runtime is here."""
