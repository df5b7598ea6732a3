"""A program: disk images in the formats that clouds take, made of the imager's raw one; same input, same bytes."""
