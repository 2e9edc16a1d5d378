"""How an edited face is drawn: mesh, textures, the person's own faces, and real people's."""
