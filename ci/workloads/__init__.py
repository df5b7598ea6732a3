"""Which of CozyStack's packages run on an architecture: their images, found in a checkout and looked up."""
