"""Where devices are kept: one module or room for each kind of store. What all of them answer is in `store`."""
