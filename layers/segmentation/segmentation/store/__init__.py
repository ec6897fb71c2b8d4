"""The only code that knows DynamoDB keys, S3 keys and file formats."""
