"""`headroom`: the developer's command line. It talks to the application API and to nothing else."""
