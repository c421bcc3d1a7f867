"""The contracts that services share: records, ids, identities, consent, money, partitioning. Pure."""
