"""What is known of pictures and sound: colours, files, timelines, sync."""
