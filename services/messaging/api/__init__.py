"""HTTP: for recipients by signed links, for operators by API and pages."""
