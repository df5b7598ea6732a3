"""The lab's recipes: what each image and each part of one is made of."""
