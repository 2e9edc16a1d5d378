"""How a way of editing faces is judged: what on, by what protocol, and the report."""
