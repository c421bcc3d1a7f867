"""`make demo`: the whole product on this machine, with a storefront that plays."""
