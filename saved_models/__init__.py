"""Trained models that come with the package; `extmap-tf score --model NAME` finds them here."""
