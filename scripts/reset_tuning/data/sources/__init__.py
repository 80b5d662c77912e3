"""Where raw files come from: the Hugging Face hub, plain addresses, a folder of this machine."""
