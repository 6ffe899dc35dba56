"""What measures Bigfoot itself, and publishes results."""
