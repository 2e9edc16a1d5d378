"""The web side of Mien: the HTTP server of the process, WebRTC peers, what the page is made of."""
