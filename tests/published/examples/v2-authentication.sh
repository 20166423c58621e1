# With shell, you can just pass the correct header with each request
curl "api_endpoint_here" \
  -H "x-api-key: Your-Secret-Account-Token"
