"""From a source of images to a frozen, validated, split snapshot."""
