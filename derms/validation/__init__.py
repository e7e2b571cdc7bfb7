"""Every outside answer that we have, against what the engine says: the product's own health."""
