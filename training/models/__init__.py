"""Networks, small and streaming; each is a torch module whose state goes in and comes out."""
