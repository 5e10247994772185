"""The function as deployed: it trains a text classifier by grid search and answers with parameters and accuracies."""
