var requestOptions = {
  method: 'GET',
  redirect: 'follow'
};

fetch("https://api.kod.mobi/api/v2/message/create?phone=79522966236&type=telegram", requestOptions)
  .then(response => response.text())
  .then(result => console.log(result))
  .catch(error => console.log('error', error));
