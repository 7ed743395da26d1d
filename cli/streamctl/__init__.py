"""streamctl: the command line of Headrace."""
