"""Programs that draw the pictures of these pages."""
