const headers = new Headers();
myHeaders.append("x-api-key", "<replace me>");

const raw = JSON.stringify({
 "session_id": "<replace me>",
 "type": "telegram"
});

const requestOptions: RequestInit = {
  method: "POST",
  headers,
  body: raw,
  redirect: "follow"
};

fetch("https://api.kod.mobi/session/send", requestOptions)
  .then((response) => response.json())
  .then((result) => console.log(result))
  .catch((error) => console.error(error));
