"""The page, in a browser. The only package that imports gradio; nothing else knows of it."""
