"""What the site adds to the text: its pages rendered, searched, and made to play with."""
