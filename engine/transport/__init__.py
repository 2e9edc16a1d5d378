"""How messages travel between processes and hosts."""
