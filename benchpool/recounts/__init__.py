"""What logs say, counted again by rules written a second time: token, data set, pools."""
