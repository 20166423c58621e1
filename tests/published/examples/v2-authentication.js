var myHeaders = new Headers();
myHeaders.append("x-api-key", "Your-Secret-Account-Token");

var requestOptions = {
  method: 'GET',
  headers: myHeaders,
  redirect: 'follow'
};

fetch("api_endpoint_here", requestOptions)
  .then(response => response.text())
  .then(result => console.log(result))
  .catch(error => console.log('error', error));
