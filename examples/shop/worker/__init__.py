"""What happens after the sale: invoices and mail, off a queue."""
