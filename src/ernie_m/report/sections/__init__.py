"""What each section of the page says, from the evidence."""
