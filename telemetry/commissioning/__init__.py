"""The commissioning test over the wire: thirteen steps between an agreement and the permission to operate."""
