"""The Trainer that teacher and students share, and stage teacher."""
