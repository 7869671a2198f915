"""What stores have in common, whatever their technology."""
