const headers = new Headers();
headers.append('x-api-key', '<replace me>');

const requestOptions: RequestInit = {
  method: 'GET',
  headers,
  redirect: 'follow',
};

fetch(
  'https://api.kod.mobi/session/channels?session_id=<replace me>',
  requestOptions,
)
  .then((response) => response.json())
  .then((result) => console.log(result))
  .catch((error) => console.error(error));
