"""The commands of evc2, one thin file each: `python -m evc2.bin.NAME` or `evc2 NAME`."""
