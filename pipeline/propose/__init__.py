"""From a budget to students and variants: `bigfoot propose`."""
