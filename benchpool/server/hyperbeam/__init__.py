"""AO's main network (ao.N.1): the part of HyperBEAM's URLs that AO's own programs use."""
