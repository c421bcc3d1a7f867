"""Who the shoppers are: profiles, links between identities, consent, orders; folded from the topics."""
