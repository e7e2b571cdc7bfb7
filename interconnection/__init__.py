"""The planning desk: application → screens → study → offer → agreement."""
