"""PACT v3: product carbon footprints, made from disclosures, exchanged with business partners over HTTP.

Written from the PACT Technical Specifications v3 (WBCSD); nothing of them is copied.
"""
