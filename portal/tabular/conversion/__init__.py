"""One object, or many as one data set, converted: look, freeze, parse in order, write, publish, read back, balance."""
