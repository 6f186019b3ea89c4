"""From a template and facts to the bytes of one mail: render, assemble, and read back before anything is sent."""
